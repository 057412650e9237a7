
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('datasets', '0013_cross_validations'),
    ]

    operations = [
        migrations.AddField(
            model_name='look',
            name='through',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='datasets.look'),
        ),
        migrations.CreateModel(
            name='SealedDigests',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('data', models.BinaryField()),
                ('version', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='sealed_digests', to='datasets.datasetversion')),
            ],
        ),
    ]
