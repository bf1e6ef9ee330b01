"""A whole study from Python. It runs as a script and in a notebook; running it again continues the study."""

from tune_seg import Study

study = Study(
    "default",  # a preset, a YAML file or a mapping; data="mydata" for images of your own
    name="try",
    studies="studies",
    overrides={
        "search.trials": 2,
        "training.epochs": 2,
        "data.size": [48, 64],
        "data.max_train": 16,
        "data.max_val": 8,
        "compute.max_concurrent": 1,
    },
)
print(study.plan())  # what will run, and in how many steps; checks all that can be checked
print(study.run())

print(study.trials[["trial", "loss", "state", "s_rec", "recall", "calibration"]].to_string(index=False))
print("best:", study.best["loss"], study.best["s_rec"])
