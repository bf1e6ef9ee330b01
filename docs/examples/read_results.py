"""Read what a study has found: `python read_results.py studies/default`."""

import sys
from pathlib import Path

import pandas as pd
import yaml

study = Path(sys.argv[1])
config = yaml.safe_load((study / "study.yaml").read_text())
objective = config["objective"] if isinstance(config["objective"], str) else config["objective"][0]

trials = pd.read_parquet(study / "results.parquet")
print(trials.groupby("state").size().to_string())

# a trial that was stopped early has the score of the epoch in which it was stopped: do not rank it with the others
completed = trials[trials.state == "completed"].sort_values(objective, ascending=False)
columns = ["trial", "loss", objective, "recall", "calibration", "temperature/T", "epochs", "seconds"]
print(completed[[name for name in dict.fromkeys(columns) if name in completed]].head(10).to_string(index=False))

best = completed.iloc[0]
print("recall of each class in the best trial:", best.class_recall.round(3).tolist())
print("its last weights:", best.checkpoint)
