"""Image files and masks, as the readers of image data sets share them."""
