import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('decisions', '0001_initial'),
        ('evaluations', '0001_initial'),
        ('teams', '0001_initial'),
        ('teams', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='GatewayBeat',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120, unique=True)),
                ('seen_at', models.DateTimeField()),
                ('started_at', models.DateTimeField()),
                ('revision', models.PositiveBigIntegerField(default=0)),
                ('waiting', models.PositiveIntegerField(default=0)),
                ('spilled', models.PositiveBigIntegerField(default=0)),
                ('dropped', models.PositiveBigIntegerField(default=0)),
                ('trouble', models.CharField(blank=True, max_length=300)),
            ],
        ),
        migrations.CreateModel(
            name='RoutingRevision',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveBigIntegerField(default=1)),
                ('epoch', models.CharField(max_length=32)),
                ('changed_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name='ModelVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='counts within the use case')),
                ('name', models.CharField(blank=True, max_length=200)),
                ('notes', models.TextField(blank=True)),
                ('tags', models.JSONField(blank=True, default=list)),
                ('metadata', models.JSONField(blank=True, default=dict)),
                ('performance', models.JSONField(blank=True, default=dict)),
                ('vocabulary', models.TextField(blank=True, editable=False)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('candidate', models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='model_versions', to='evaluations.candidate')),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('previous', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='followers', to='deployments.modelversion')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('use_case', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='model_versions', to='decisions.usecase')),
            ],
            options={
                'ordering': ['-id'],
                'constraints': [models.UniqueConstraint(fields=('use_case', 'number'), name='one_model_version_a_number'), models.UniqueConstraint(fields=('candidate',), name='one_model_version_a_candidate')],
            },
        ),
        migrations.CreateModel(
            name='Endpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=60, unique=True, verbose_name='address')),
                ('is_on', models.BooleanField(default=True)),
                ('share_buckets', models.PositiveSmallIntegerField(default=0, help_text='hundredths of a per cent')),
                ('is_shadow', models.BooleanField(default=False)),
                ('salt', models.CharField(editable=False, max_length=32)),
                ('falls_back', models.BooleanField(default=True, verbose_name='fall back to the baseline when the candidate fails')),
                ('system_policy', models.CharField(choices=[('replace', "Replace it by the version's"), ('append', "Keep it after the version's"), ('refuse', 'Refuse the request')], default='replace', max_length=8, verbose_name="a client's own system prompt")),
                ('text_retention', models.CharField(choices=[('none', 'No text'), ('sample', 'A sample, personal data masked'), ('all', 'All text as it is')], default='sample', max_length=6, verbose_name='text kept')),
                ('text_share', models.FloatField(default=0.1, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(1)], verbose_name='part kept')),
                ('text_days', models.PositiveSmallIntegerField(default=30, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(3650)], verbose_name='days kept')),
                ('timeout_s', models.PositiveSmallIntegerField(default=60, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(600)], verbose_name='seconds to wait for an answer')),
                ('max_in_flight', models.PositiveSmallIntegerField(default=200, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(2000)], verbose_name='requests at the same time')),
                ('requests_per_minute', models.PositiveIntegerField(blank=True, null=True)),
                ('daily_budget_microusd', models.PositiveBigIntegerField(blank=True, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('archived_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('use_case', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='endpoints', to='decisions.usecase')),
                ('baseline', models.ForeignKey(on_delete=django.db.models.deletion.RESTRICT, related_name='serves_as_baseline', to='deployments.modelversion')),
                ('candidate', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.RESTRICT, related_name='serves_as_candidate', to='deployments.modelversion')),
            ],
            options={
                'ordering': ['slug'],
                'constraints': [models.CheckConstraint(condition=models.Q(('share_buckets__lte', 10000)), name='a_share_is_at_most_everything'), models.CheckConstraint(condition=models.Q(('share_buckets', 0), ('candidate__isnull', False), _connector='OR'), name='a_share_has_its_candidate'), models.CheckConstraint(condition=models.Q(('text_share__gte', 0), ('text_share__lte', 1)), name='a_text_share_is_a_share')],
            },
        ),
        migrations.CreateModel(
            name='GatewayToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('prefix', models.CharField(max_length=8)),
                ('sha256', models.CharField(editable=False, max_length=64, unique=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('created_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='deployments.endpoint')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Alias',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(choices=[('production', 'production'), ('previous', 'previous')], max_length=20)),
                ('moved_at', models.DateTimeField(auto_now=True)),
                ('moved_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('use_case', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='aliases', to='decisions.usecase')),
                ('version', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='aliases', to='deployments.modelversion')),
            ],
            options={
                'verbose_name_plural': 'aliases',
                'constraints': [models.UniqueConstraint(fields=('use_case', 'name'), name='one_alias_a_name')],
            },
        ),
        migrations.CreateModel(
            name='Prediction',
            fields=[
                ('id', models.UUIDField(editable=False, help_text='UUIDv7, made by the gateway', primary_key=True, serialize=False)),
                ('arm', models.CharField(choices=[('baseline', 'baseline'), ('candidate', 'candidate'), ('shadow', 'shadow')], max_length=9)),
                ('at', models.DateTimeField()),
                ('status', models.PositiveSmallIntegerField(help_text='what the client was told; 499 when it had gone')),
                ('error', models.CharField(blank=True, max_length=40)),
                ('is_fallback', models.BooleanField(default=False)),
                ('fallback_reason', models.CharField(blank=True, max_length=40)),
                ('shadow_of', models.UUIDField(blank=True, null=True)),
                ('sticky_hash', models.CharField(blank=True, max_length=16)),
                ('is_sticky', models.BooleanField(default=False)),
                ('bucket', models.PositiveSmallIntegerField(default=0)),
                ('is_stream', models.BooleanField(default=False)),
                ('latency_ms', models.FloatField(blank=True, null=True)),
                ('first_byte_ms', models.FloatField(blank=True, null=True)),
                ('input_tokens', models.PositiveIntegerField(default=0)),
                ('output_tokens', models.PositiveIntegerField(default=0)),
                ('usage_estimated', models.BooleanField(default=False)),
                ('cost_microusd', models.BigIntegerField(blank=True, help_text='None when no price is known', null=True)),
                ('stop_reason', models.CharField(blank=True, max_length=40)),
                ('features', models.JSONField(default=dict)),
                ('predicted', models.CharField(blank=True, max_length=200)),
                ('confidence', models.FloatField(blank=True, null=True)),
                ('prompt_text', models.TextField(blank=True)),
                ('answer_text', models.TextField(blank=True)),
                ('text_until', models.DateTimeField(blank=True, null=True)),
                ('text_masked', models.BooleanField(default=False)),
                ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='predictions', to='deployments.endpoint')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('version', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='predictions', to='deployments.modelversion')),
            ],
            options={
                'indexes': [models.Index(fields=['endpoint', '-id'], name='predictions_of_an_endpoint'), models.Index(fields=['version', '-id'], name='predictions_of_a_version'), models.Index(condition=models.Q(('text_until__isnull', False)), fields=['text_until'], name='texts_to_sweep')],
            },
        ),
        migrations.CreateModel(
            name='Feedback',
            fields=[
                ('id', models.UUIDField(editable=False, help_text='UUIDv7', primary_key=True, serialize=False)),
                ('at', models.DateTimeField()),
                ('label', models.CharField(blank=True, max_length=2000)),
                ('outcome', models.CharField(blank=True, max_length=200)),
                ('rating', models.FloatField(blank=True, null=True)),
                ('is_correct', models.BooleanField(blank=True, null=True)),
                ('comment', models.TextField(blank=True)),
                ('source', models.CharField(default='api', max_length=20)),
                ('endpoint', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='feedback', to='deployments.endpoint')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('prediction', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, related_name='feedback', to='deployments.prediction')),
            ],
            options={
                'verbose_name_plural': 'feedback',
                'indexes': [models.Index(fields=['endpoint', '-id'], name='feedback_of_an_endpoint')],
            },
        ),
        migrations.CreateModel(
            name='TrafficChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('share_buckets', models.PositiveSmallIntegerField(default=0)),
                ('is_shadow', models.BooleanField(default=False)),
                ('is_on', models.BooleanField(default=True)),
                ('reason', models.CharField(max_length=500)),
                ('at', models.DateTimeField(auto_now_add=True)),
                ('baseline', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='deployments.modelversion')),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('candidate', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='deployments.modelversion')),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='traffic_changes', to='deployments.endpoint')),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='BudgetDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('leased_microusd', models.PositiveBigIntegerField(default=0)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='budget_days', to='deployments.endpoint')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('endpoint', 'day'), name='one_budget_a_day')],
            },
        ),
    ]
