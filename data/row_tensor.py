"""A tensor in several parts along its first axis, each perhaps memory-mapped, read as if it were one."""

from collections.abc import Iterator, Sequence

import torch

from configs.errors import UserError


class RowTensor:
    """Rows of `parts`, tensors of one dtype and equal shapes but for the first axis; nothing is copied.

    Indexing by a slice or an int64 tensor gives an ordinary tensor of these rows alone.
    """

    def __init__(self, parts: Sequence[torch.Tensor]) -> None:
        self.parts, self.dtype = list(parts), parts[0].dtype
        lengths = torch.tensor([len(part) for part in parts])
        self._ends = lengths.cumsum(0)
        self._starts = self._ends - lengths
        if len({(part.dtype, tuple(part.shape[1:])) for part in parts}) > 1:
            raise UserError(f"shapes {[tuple(part.shape) for part in parts]} do not fit together")
        self.shape = torch.Size([int(self._ends[-1]), *parts[0].shape[1:]])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def numel(self) -> int:
        return self.shape.numel()

    def __iter__(self) -> Iterator[torch.Tensor]:
        return (row for part in self.parts for row in part)

    def __getitem__(self, rows: slice | torch.Tensor) -> torch.Tensor:
        if isinstance(rows, slice):
            rows = torch.arange(len(self))[rows]
        where = torch.bucketize(rows, self._ends, right=True)
        values = self.parts[0].new_empty((len(rows), *self.shape[1:]))
        for index in where.unique().tolist():
            chosen = where == index
            values[chosen] = self.parts[index][rows[chosen] - self._starts[index]]
        return values


Rows = torch.Tensor | RowTensor
