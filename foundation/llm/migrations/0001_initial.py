import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('teams', '0001_initial'),
        ('teams', '__first__'),
    ]

    operations = [
        migrations.CreateModel(
            name='Budget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scope', models.CharField(max_length=120, unique=True)),
                ('cap_microusd', models.BigIntegerField()),
                ('spent_microusd', models.BigIntegerField(default=0)),
                ('reserved_microusd', models.BigIntegerField(default=0)),
                ('unconfirmed_microusd', models.BigIntegerField(default=0, help_text='part of spent whose answer never came')),
                ('calls', models.PositiveIntegerField(default=0)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('reserved_microusd__gte', 0)), name='reserved_not_below_zero')],
            },
        ),
        migrations.CreateModel(
            name='CachedAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('digest', models.CharField(max_length=64)),
                ('sample', models.PositiveIntegerField(default=0)),
                ('model_id', models.CharField(max_length=200)),
                ('text', models.TextField()),
                ('stop_reason', models.CharField(max_length=40)),
                ('usage', models.JSONField(default=dict)),
                ('sent_parameters', models.JSONField(default=dict)),
                ('cost_microusd', models.BigIntegerField(default=0)),
                ('latency_ms', models.FloatField(default=0)),
                ('request_id', models.CharField(blank=True, max_length=120)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'indexes': [models.Index(fields=['created_at'], name='llm_cacheda_created_7274f1_idx')],
                'constraints': [models.UniqueConstraint(fields=('team', 'digest', 'sample'), name='one_answer_a_question')],
            },
        ),
        migrations.CreateModel(
            name='Connection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120)),
                ('provider', models.CharField(choices=[('anthropic', 'Claude (Anthropic)'), ('local', 'Models trained in this portal')], default='anthropic', max_length=20)),
                ('base_url', models.CharField(blank=True, max_length=300)),
                ('key_ciphertext', models.TextField(blank=True, editable=False)),
                ('key_last4', models.CharField(blank=True, editable=False, max_length=4)),
                ('from_environment', models.BooleanField(default=False, editable=False)),
                ('max_concurrency', models.PositiveSmallIntegerField(default=8)),
                ('enabled', models.BooleanField(default=True)),
                ('is_default', models.BooleanField(default=False)),
                ('tried_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('tried_ok', models.BooleanField(editable=False, null=True)),
                ('tried_sentence', models.CharField(blank=True, editable=False, max_length=300)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('created_by', models.ForeignKey(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('team', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='teams.team')),
            ],
            options={
                'ordering': ['-is_default', 'name', 'pk'],
                'constraints': [models.UniqueConstraint(fields=('team', 'name'), name='one_connection_a_name'), models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('team',), name='one_default_connection_a_team'), models.UniqueConstraint(condition=models.Q(('from_environment', True)), fields=('team',), name='one_environment_connection_a_team')],
            },
        ),
        migrations.CreateModel(
            name='ConnectionSlot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveSmallIntegerField()),
                ('token', models.CharField(blank=True, max_length=32)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('connection', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='slots', to='llm.connection')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('connection', 'number'), name='one_slot_a_number')],
            },
        ),
        migrations.CreateModel(
            name='ModelEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('provider', models.CharField(default='anthropic', max_length=40)),
                ('model_id', models.CharField(max_length=120)),
                ('display_name', models.CharField(max_length=120)),
                ('line', models.CharField(blank=True, max_length=40)),
                ('lifecycle', models.CharField(choices=[('active', 'active'), ('deprecated', 'deprecated'), ('retired', 'retired')], default='active', max_length=20)),
                ('deprecated_at', models.DateField(blank=True, null=True)),
                ('retires_at', models.DateField(blank=True, null=True)),
                ('context_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('max_output_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('min_cache_tokens', models.PositiveIntegerField(blank=True, null=True)),
                ('bytes_per_token', models.FloatField(default=2.8, help_text='for estimates only')),
                ('takes_sampling', models.BooleanField(default=False, help_text='accepts temperature, top_p, top_k')),
                ('structured_output', models.BooleanField(default=True)),
                ('takes_effort', models.BooleanField(default=True)),
                ('batch', models.BooleanField(default=True)),
                ('restricted', models.BooleanField(default=False, help_text='offered to verified organisations only')),
                ('rank', models.PositiveSmallIntegerField(default=100, help_text='order in lists, lowest first')),
                ('note', models.TextField(blank=True)),
                ('source', models.CharField(default='edited', max_length=60)),
            ],
            options={
                'verbose_name_plural': 'model entries',
                'ordering': ['rank', 'model_id'],
                'constraints': [models.UniqueConstraint(fields=('provider', 'model_id'), name='one_entry_a_model')],
            },
        ),
        migrations.CreateModel(
            name='ModelPrice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('effective_from', models.DateField()),
                ('above_prompt_tokens', models.PositiveIntegerField(default=0)),
                ('input', models.PositiveBigIntegerField()),
                ('output', models.PositiveBigIntegerField()),
                ('cache_write_5m', models.PositiveBigIntegerField()),
                ('cache_write_1h', models.PositiveBigIntegerField()),
                ('cache_read', models.PositiveBigIntegerField()),
                ('batch_percent', models.PositiveSmallIntegerField(default=50)),
                ('source', models.CharField(default='edited', max_length=60)),
                ('entry', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='prices', to='llm.modelentry')),
            ],
            options={
                'ordering': ['entry', 'effective_from', 'above_prompt_tokens'],
                'constraints': [models.UniqueConstraint(fields=('entry', 'effective_from', 'above_prompt_tokens'), name='one_price_a_day_and_tier')],
            },
        ),
        migrations.CreateModel(
            name='Reservation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('bound_microusd', models.BigIntegerField()),
                ('actual_microusd', models.BigIntegerField(blank=True, null=True)),
                ('state', models.CharField(choices=[('held', 'held'), ('sent', 'sent'), ('settled', 'settled'), ('released', 'released')], default='held', max_length=10)),
                ('unconfirmed', models.BooleanField(default=False)),
                ('expires_at', models.DateTimeField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('settled_at', models.DateTimeField(blank=True, null=True)),
                ('budget', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='reservations', to='llm.budget')),
            ],
            options={
                'indexes': [models.Index(fields=['state', 'expires_at'], name='llm_reserva_state_61ea3a_idx')],
            },
        ),
    ]
