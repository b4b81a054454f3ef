#!/usr/bin/env bash
# Train every bundled network again, in build/train, and put what came of it into the package: first on shapes as they
# are, then with half of them redrawn as lumps. What was interrupted goes on.
set -euo pipefail
weights=src/invert3d/weights
train() { # name of the run, name of the weights, then the options
    local folder="build/train/$1" name=$2
    shift 2
    if [ -f "$folder/run.json" ]; then set -- "$@" --resume; fi
    invert3d train "$@" --name "$name" --out "$folder"
}
keep() { cp "build/train/$1/$2.safetensors" "build/train/$1/$2.json" "$weights/"; }
run() { # architecture, steps, batch, steps with lumps
    train "$1-first" "$1-shapes" "$1" --data shapes --steps "$2" --batch "$3" --abstract 0
    train "$1" "$1-shapes" "$1" --data shapes --steps "$4" --batch "$3" --rate 1e-3 --seed 1 --data-seed 0 \
        --start "build/train/$1-first/$1-shapes.safetensors"
}
once() { # name of the weights, then the options
    local name=$1
    train "$name" "$@"
    keep "$name" "$name"
}
for each in "pointnet_vanilla 2200 32 500" "pointnet 2200 24 600" "pointnet2_ssg 1400 16 450" "dgcnn 1300 16 400"; do
    # shellcheck disable=SC2086
    run $each
done
train pointnet2_ssg-third pointnet2_ssg-shapes pointnet2_ssg --data shapes --steps 1500 --batch 16 --rate 1e-3 \
    --abstract 0.4 --seed 2 --start build/train/pointnet2_ssg/pointnet2_ssg-shapes.safetensors # and on new shapes
for name in pointnet_vanilla pointnet dgcnn; do keep "$name" "$name-shapes"; done
keep pointnet2_ssg-third pointnet2_ssg-shapes

# Real shapes; ModelNet10's grids must be here (invert3d data where modelnet10-voxels).
real() { # name of the run, architecture, where to start, then steps and the other options
    local folder=$1 architecture=$2 start=$3
    shift 3
    train "$folder" "$architecture-modelnet10" "$architecture" --data modelnet10-voxels+shapes --rate 1e-3 \
        --start "$start" --steps "$@"
}
for each in "pointnet 1500 24" "pointnet2_ssg 1000 16" "dgcnn 600 16"; do
    read -r architecture steps batch <<<"$each"
    real "$architecture-real" "$architecture" "$weights/$architecture-shapes.safetensors" "$steps" --batch "$batch" \
        --per-class 150 --abstract 0.25 --seed 3
done
more() { # architecture, then steps and the other options: longer, and mostly on real shapes
    local architecture=$1
    shift
    real "$architecture-more" "$architecture" "build/train/$architecture-real/$architecture-modelnet10.safetensors" \
        "$@" --per-class 50
    keep "$architecture-more" "$architecture-modelnet10"
}
more pointnet 3200 --batch 24 --abstract 0.1 --seed 5
more pointnet2_ssg 950 --batch 16 --abstract 0.15 --seed 4
more dgcnn 1050 --batch 16 --abstract 0.15 --seed 4
once voxel_nin-modelnet10 voxel_nin --data modelnet10-voxels --steps 3000 --batch 32 --rate 1e-3
once voxnet-modelnet10 voxnet --data modelnet10-voxels --steps 4000 --batch 32 --rate 1e-3
once voxnet-shapes voxnet --data shapes --per-class 150 --steps 1500 --batch 32 --rate 1e-3
once vrn-modelnet10 vrn --data modelnet10-voxels --values -1 5 --width 16 --rate 1e-3 --steps 720 --batch 32
# against its own shapes, about two hours; the same without; without pseudo-negatives only; and another generator
once winn3d-modelnet10 introspective
once winn3d-modelnet10-classifier introspective --alpha 0 --adversary 0
train winn3d-modelnet10-adversarial winn3d-modelnet10-adversarial introspective --alpha 0
train vae-modelnet10 vae-modelnet10 vae

# Detectors, on procedural streets.
streets=(--data streets --size 96x320 --frames 8000 --held-out 200 --steps 7400 --batch 16 --rate 0.002)
once centernet3d-small centernet3d --backbone small "${streets[@]}"
once centernet3d-resnet18 centernet3d --backbone resnet18 --width 24 --deconv 48 --hidden 24 --skips "${streets[@]}"

# Descriptors, on procedural terraces: the relative pose of two views, the style of the houses; and a decoder.
once posenet-facades posenet --steps 2500
once stylenet-facades posenet --task style --scenes 2500 --steps 800
once posenet-facades-fc5-decoder decoder posenet-facades:fc5 --steps 2500 --width 12

# 2-D detectors, on procedural rooms.
[ -f build/rooms/truths.json ] || invert3d data make rooms --pictures 7000 --seed 1 --out build/rooms
rooms() { # name of the run, family, then steps and the other options
    local folder=$1 family=$2
    shift 2
    train "$folder" "$folder" detector "$family" --data build/rooms --pictures 6300 --held-out 300 --steps "$@"
}
rooms fcos-rooms fcos 2400 --rate 1.5e-3
keep fcos-rooms fcos-rooms
# first apart from each other
rooms fasterrcnn-apart fasterrcnn 1300 --rate 1.5e-3
rooms maskrcnn-apart maskrcnn 1600 --rate 1.5e-3
rooms retinanet-first retinanet 2000 --rate 1.5e-3
rooms retinanet-apart retinanet 1800 --rate 1e-3 --seed 1 --start build/train/retinanet-first/retinanet-first.safetensors
# then on the backbone of FCOS, whose first layers are kept, as detectors of photographs begin on one of ImageNet
shared() { # name of the run, family, the run it starts from, then steps and the other options
    local folder=$1 family=$2 start=build/train/$3/$3.safetensors
    shift 3
    rooms "$folder" "$family" "$@" --start "$start" --backbone fcos-rooms
}
shared fasterrcnn-rooms fasterrcnn fasterrcnn-apart 2600 --rate 1.2e-3 --seed 3
shared maskrcnn-shared maskrcnn maskrcnn-apart 500 --rate 1e-3 --seed 2
shared maskrcnn-rooms maskrcnn maskrcnn-shared 2600 --rate 1.2e-3 --seed 3
shared retinanet-shared retinanet retinanet-apart 900 --rate 1e-3 --seed 2
shared retinanet-rooms retinanet retinanet-shared 3400 --rate 1.2e-3 --seed 3
for family in fasterrcnn maskrcnn retinanet; do keep "$family-rooms" "$family-rooms"; done

for density in 0.05 0.02; do
    way=$([ "$density" = 0.05 ] && echo magnitude || echo gradual)
    name="vrn-modelnet10-pruned${density#0.0}"
    invert3d prune vrn-modelnet10 --density "$density" --way "$way" --rate 1e-3 --out "build/train/$name" \
        --name "$name" --overwrite
    keep "$name" "$name"
done
