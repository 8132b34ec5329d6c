"""Images, labels and augmentation, as tensors."""
