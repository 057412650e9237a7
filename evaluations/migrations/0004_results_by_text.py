from django.db import migrations, models

from foundation.teams.index_operations import AddIndexConcurrently


class Migration(migrations.Migration):
    """Texts that nothing refers to are deleted by their key, and each was looked for in every result."""

    atomic = False

    dependencies = [
        ('evaluations', '0003_results_by_row'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='result',
            index=models.Index(fields=['content'], name='results_of_a_text'),
        ),
    ]
