"""Reference networks and the loading of other people's: plain ``nn.Module``s that know nothing of the engine."""
