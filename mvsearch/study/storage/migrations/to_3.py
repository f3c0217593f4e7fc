"""Schema 3: the database records its own version."""

import sqlalchemy as sa


def upgrade(connection: sa.Connection) -> None:
    """Add the table of versions."""
    tables = sa.MetaData()
    sa.Table(
        "mvsearch_schema",
        tables,
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mvsearch", sa.String(32), nullable=False),
        sa.Column("applied", sa.Float, nullable=False),
    )
    tables.create_all(connection)
