"""When in training does a layer learn what it ends with?"""
