"""Does depth correspond to depth?"""
