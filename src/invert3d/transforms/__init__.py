"""Random views of images, which move the layout with them (views of clouds are in ``engine.transform``)."""
