"""What did a first layer learn, and could it be foreseen?"""
