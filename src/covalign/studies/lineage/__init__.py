"""Was one network derived from the other?"""
