"""Did these networks learn the same thing, layer by layer?"""
