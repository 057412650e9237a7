from django.db import migrations, models

from foundation.teams.index_operations import AddIndexConcurrently


class Migration(migrations.Migration):
    """Rows of a version are deleted by their key, and each was looked for in every result."""

    atomic = False

    dependencies = [
        ('evaluations', '0002_looks_count_in_the_vault'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='result',
            index=models.Index(fields=['row'], name='results_of_a_row'),
        ),
    ]
