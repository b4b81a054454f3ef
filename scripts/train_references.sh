#!/usr/bin/env bash
# Train every bundled network again: first on shapes as they are, then with half of them redrawn as lumps.
set -euo pipefail
run() { # architecture, steps, batch, steps with lumps
    invert3d train "$1" --data shapes --name "$1-shapes" --steps "$2" --batch "$3" --abstract 0 --out build/first
    invert3d train "$1" --data shapes --name "$1-shapes" --steps "$4" --batch "$3" --rate 1e-3 --seed 1 --data-seed 0 \
        --start "build/first/$1-shapes.safetensors"
}
run pointnet_vanilla 2200 32 500
run pointnet 2200 24 600
run pointnet2_ssg 1400 16 450
invert3d train pointnet2_ssg --data shapes --name pointnet2_ssg-shapes --steps 1500 --batch 16 --rate 1e-3 \
    --abstract 0.4 --seed 2 --start src/invert3d/weights/pointnet2_ssg-shapes.safetensors  # and on new shapes
run dgcnn 1300 16 400
invert3d train pointnet2_ssg --data modelnet10-voxels --name pointnet2_ssg-modelnet10 --steps 900 --abstract 0
