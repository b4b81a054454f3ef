"""One derivative at a real input: why did the model say that?"""
