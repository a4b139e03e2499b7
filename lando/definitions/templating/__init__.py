"""A manifest from a template and arguments, which stay data.

``templates`` renders within ``limits`` what ``printing`` prints, ``filling`` puts the values in; ``arguments`` holds
them to what a definition declares.
"""
