"""Latents put on disk as stage 1 does, for tests that read them."""

import torch

from data.labels import LabelTable
from data.latent_files import SHARD_SIZE, LatentFiles
from data.latents import read_latents


def write_latents(
    folder,
    split,
    latents,
    latents_std=None,
    labels=None,
    label_table=LabelTable(("ID_1",)),  # noqa: B008
    paths=None,
    metadata=None,
    shard_size=SHARD_SIZE,
    latents_flip=None,
):
    """Of one person, by numbers, where nothing else is said."""
    labels = torch.zeros(len(latents)).long() if labels is None else labels
    paths = paths or [str(number) for number in range(len(latents))]
    given = {"latents": latents, "latents_std": latents_std, "latents_flip": latents_flip}
    tensors = {kind: tensor.float() for kind, tensor in given.items() if tensor is not None}
    shape, kinds = latents.shape[1:], tuple(tensors)
    files = LatentFiles(folder, split, shape, labels, label_table, paths, metadata or {}, kinds, shard_size)
    with files.written():
        files.put(0, *tensors.values())
    return files.paths


def write_again(source, folder, split, metadata, label_table=None):
    """A folder's latents elsewhere, with other metadata and perhaps other people."""
    old = read_latents(source, split)
    table = label_table or old.label_table
    write_latents(folder, split, old.latents, old.latents_std, old.labels, table, old.paths, metadata)
