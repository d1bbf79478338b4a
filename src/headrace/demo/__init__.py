"""`headrace demo`: a real pipeline on real files, whose worker is killed halfway.

`pipeline` is written as a user would write it, with the public names only; the other modules run it
and check what came of it.
"""
