"""A schedule of two losses, and the metrics, in a training loop of your own. It needs no configuration and no study."""

import torch
from torch import nn

from tune_seg.layers import AdaptiveClassWeight
from tune_seg.losses import build_loss, class_weights
from tune_seg.metrics import SegmentationMetrics
from tune_seg.schedules import build_schedule

ITERATIONS = 200

torch.manual_seed(0)
images = torch.rand(8, 3, 32, 32)
target = (images[:, 0] > 0.95).long()  # class 1 is rare: about 5 in 100 pixels

weights = class_weights(torch.bincount(target.flatten(), minlength=2))
start = build_loss("wdice", num_classes=2, class_weights=weights)
end = build_loss("ce", num_classes=2)
share_of_end = build_schedule("naive", start=0.3 * ITERATIONS, end=0.9 * ITERATIONS)

network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 2, 1))
acw = AdaptiveClassWeight(num_classes=2)
optimizer = torch.optim.Adam(
    [{"params": network.parameters(), "weight_decay": 1e-4}, {"params": acw.parameters(), "weight_decay": 0.0}], lr=1e-2
)

for iteration in range(ITERATIONS):
    w = share_of_end(iteration)
    logits = acw(network(images))
    loss = (1 - w) * start(logits, target) + w * end(logits, target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

metrics = SegmentationMetrics(num_classes=2)
metrics.update(acw(network(images)).detach(), target)
values = metrics.compute()
print({name: round(values[name], 3) for name in ("accuracy", "recall", "calibration", "s_rec")})
