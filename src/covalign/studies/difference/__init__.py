"""What did training change between relatives?"""
