"""Schema 2: further seeds are claimed (`repeats`), and workers of a server send heartbeats (`workers`).

Schema 1 queued trials in Optuna. They need no step here: a trial that no running worker holds is tried again.
"""

import sqlalchemy as sa


def upgrade(connection: sa.Connection) -> None:
    """Add the two tables."""
    tables = sa.MetaData()
    sa.Table(
        "mvsearch_repeats",
        tables,
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("worker", sa.String(64), nullable=False),
    )
    sa.Table(
        "mvsearch_workers",
        tables,
        sa.Column("study", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(64), nullable=False),
        sa.Column("beat", sa.Integer),
        sa.Column("words", sa.JSON, nullable=False),
    )
    tables.create_all(connection)
