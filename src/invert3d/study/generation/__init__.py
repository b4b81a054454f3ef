"""How good are generated shapes, and which scores can tell them from real ones?"""
