from django.db import migrations, models

from foundation.teams.index_operations import AddIndexConcurrently


class Migration(migrations.Migration):
    """Rows of a version are deleted by their key, and each was looked for in every answer."""

    atomic = False

    dependencies = [
        ('datasets', '0016_rows_that_speak_to_their_judge'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='foldanswer',
            index=models.Index(fields=['row'], name='fold_answers_of_a_row'),
        ),
    ]
