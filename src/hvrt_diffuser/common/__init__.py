"""What every room uses: errors, files, seeds, devices, precision, progress."""
