"""How much of what two layers learned is the same, without a model of the noise?"""
