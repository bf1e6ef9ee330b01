"""A loss of your own: written once, checked, and used by the path `own_loss:Tempered` wherever a loss has a name."""

import torch
from torch import Tensor, nn

from tune_seg.losses import Parameter, build_loss, check_loss, get_spec


class Tempered(nn.Module):
    """-log softmax(x / t)_y"""

    parameters = (Parameter("temperature", "what the logits are divided by", default=2.0, lower=0.0, open=True),)

    def __init__(self, num_classes: int, *, temperature: float = 2.0, ignore_index: int = 255) -> None:
        super().__init__()
        self.temperature = temperature
        self.loss = nn.CrossEntropyLoss(ignore_index=ignore_index)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:  # (N, C, H, W), (N, H, W) -> scalar
        loss: Tensor = self.loss(logits / self.temperature, target)
        return loss


if __name__ == "__main__":
    name = "own_loss:Tempered"
    print(name, get_spec(name).formula, [(p.name, p.range) for p in get_spec(name).parameters])
    check_loss(name, num_classes=3, temperature=0.5)  # raises InputError where the loss cannot be trained with
    loss = build_loss(name, num_classes=3, temperature=4.0)
    print(loss(torch.randn(1, 3, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)).item())
    # In a study, run from the folder of this file:
    #   tune-seg search --set 'space.loss.end={choice: [ce, "own_loss:Tempered"]}' --set loss.kind=static
