"""How much of what a layer learned does the network need?"""
