"""Latents put on disk as stage 1 does, for tests that read them."""

from data.latent_files import SHARD_SIZE, LatentFiles


def write_latents(
    folder,
    split,
    latents,
    latents_std,
    labels,
    label_table,
    paths,
    metadata,
    shard_size=SHARD_SIZE,
    latents_flip=None,
):
    given = {"latents": latents, "latents_std": latents_std, "latents_flip": latents_flip}
    tensors = {kind: tensor.float() for kind, tensor in given.items() if tensor is not None}
    shape, kinds = latents.shape[1:], tuple(tensors)
    files = LatentFiles(folder, split, shape, labels, label_table, paths, metadata, kinds, shard_size)
    with files.written():
        files.put(0, *tensors.values())
    return files.paths
