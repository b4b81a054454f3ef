"""Train a reference network: a classifier of clouds or voxels, or centernet3d."""
