"""``python -m upscale_cli`` is ``upscale``."""

from upscale_cli.cli import main

main()
