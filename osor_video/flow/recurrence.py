"""RAFT-small's recurrent update (Teed and Deng, ECCV 2020, section 3.3) in three quarters of the operations.

The context of a frame enters the gates of every update alike, so its share of their convolutions is reckoned once a pair; the
two gates that see the same input are one convolution. torchvision's own block is the slow twin, with the same weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class Recurrence:
    """The updates of B frames with ``context`` [B, C, h, w], by the weights of torchvision's ``update_block``."""

    def __init__(self, update_block: Any, context: Tensor) -> None:
        self._block = update_block
        gru = update_block.recurrent_block.convgru1
        gates = gru.convz, gru.convr, gru.convq
        hidden, given = update_block.hidden_state_size, context.shape[1]
        # Input channels: the hidden state, the context, the motion.
        split = [
            gate.weight.split([hidden, given, gate.in_channels - hidden - given], dim=1) for gate in gates
        ]
        changing = [torch.cat([state, motion], dim=1) for state, _, motion in split]
        self._zr, self._q = _last(torch.cat(changing[:2])), _last(changing[2])
        weight = torch.cat([given for _, given, _ in split])
        bias = torch.cat([gate.bias for gate in gates])
        settled = F.conv2d(_last(context), weight, bias, padding=1)
        self._zr_settled, self._q_settled = settled.split([2 * hidden, hidden], dim=1)

    def update(self, hidden: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        """The next hidden state and what is to be added to the ``flow``, [B, 2, h, w] in cells.

        ``correlation`` [B, levels (2 r + 1)^2, h, w] was looked up at ``flow``.
        """
        motion = self._block.motion_encoder(_last(flow), _last(correlation))
        gates = F.conv2d(torch.cat([hidden, motion], dim=1), self._zr, padding=1) + self._zr_settled
        z, r = gates.sigmoid().chunk(2, dim=1)
        proposed = F.conv2d(torch.cat([r * hidden, motion], dim=1), self._q, padding=1) + self._q_settled
        hidden = torch.lerp(hidden, proposed.tanh(), z)
        return hidden, self._block.flow_head(hidden)


def _last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)
