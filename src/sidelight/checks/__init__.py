"""Questions put to a target before anything rests on it: does it see what it should, and decide between classes?"""
