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

# Networks of voxels; ModelNet10's grids must be here (invert3d data where modelnet10-voxels).
invert3d train voxel_nin --data modelnet10-voxels --name voxel_nin-modelnet10 --steps 3000 --batch 32 --rate 1e-3
invert3d train voxnet --data modelnet10-voxels --name voxnet-modelnet10 --steps 4000 --batch 32 --rate 1e-3
invert3d train voxnet --data shapes --name voxnet-shapes --per-class 150 --steps 1500 --batch 32 --rate 1e-3
invert3d train voxel_nin --data shapes --name voxel_nin-shapes --per-class 150 --steps 1200 --batch 32 --rate 1e-3
invert3d train vrn --data modelnet10-voxels --name vrn-modelnet10 --values -1 5 --width 16 --rate 1e-3 --steps 720 --batch 32
# Detectors, on procedural streets.
streets=(--data streets --size 96x320 --frames 8000 --held-out 200 --steps 7400 --batch 16 --rate 0.002)
invert3d train centernet3d --backbone small --name centernet3d-small "${streets[@]}"
invert3d train centernet3d --backbone resnet18 --width 24 --deconv 48 --hidden 24 --skips --name centernet3d-resnet18 \
    "${streets[@]}"

for density in 0.05 0.02; do
    way=$([ "$density" = 0.05 ] && echo magnitude || echo gradual)
    invert3d prune vrn-modelnet10 --density "$density" --way "$way" --rate 1e-3 --out "build/pruned-$density" \
        --name "vrn-modelnet10-pruned${density#0.0}"
    cp "build/pruned-$density"/vrn-modelnet10-pruned*.* src/invert3d/weights/
done
