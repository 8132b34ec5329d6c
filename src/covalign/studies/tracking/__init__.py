"""How near does each layer come to a reference while a network is trained?"""
