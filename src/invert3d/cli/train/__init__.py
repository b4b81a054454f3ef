"""Train a reference network: an architecture of clouds or voxels, or centernet3d."""
