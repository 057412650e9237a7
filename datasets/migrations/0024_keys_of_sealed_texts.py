from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('datasets', '0023_kinds_of_issues'),
    ]

    operations = [
        migrations.AddField(
            model_name='sealeddigests',
            name='loose',
            field=models.BinaryField(null=True),
        ),
    ]
