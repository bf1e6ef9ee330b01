"""Folders of images and masks as people have them, drawn at random, and a judge of what the readers make of them.

One seed is one folder, a mixture of independent choices: `python -m tests.support.random_folders --seeds 1000`.
"""
