"""`python -m deployments.gateway --port N`: the gateway as its own small process."""

from __future__ import annotations

import argparse


def main() -> None:
    """Read the command line, set up the tables, serve."""
    parser = argparse.ArgumentParser(prog="gateway", description="Answer live requests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    chosen = parser.parse_args()

    from deployments.gateway.rooms import set_up

    set_up()
    from deployments.gateway.server import serve

    serve(chosen.host, chosen.port)


if __name__ == "__main__":
    main()
