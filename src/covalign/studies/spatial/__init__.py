"""Which spatial patterns did layers learn?"""
