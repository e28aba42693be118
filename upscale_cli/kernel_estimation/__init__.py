"""From a picture to the kernel it was downsampled with: KernelGAN and the power spectrum."""
