# ActiveRecord (Debian's 6.1) and its migrator through a pool.
#
# It names its statements a1, a2... on every connection, prepares in one series
# and binds in the next, and locks its migrations with an advisory lock of the
# session on a second connection. What is checked, why, and what SLEEP means:
# ../python/pool_checks.py.

require 'active_record'
require 'securerandom'
require 'timeout'
require 'uri'

PROGRAM_LIMIT = 90
CROWD = 20
OPEN = 3
ROUNDS = 200
BIG = 5 * 1024 * 1024
DEFAULTS = %w[search_path TimeZone statement_timeout application_name DateStyle].freeze
POOLED = ARGV == %w[--survives yes]
UNIQUE = "#{Process.pid}_#{SecureRandom.hex(4)}"

$passed = 0
$current = 'start'

def fail_with(reason)
  puts "FAIL pool_activerecord: #{$current}: #{reason}"
  $stdout.flush
  exit!(1)
end

def check(name)
  $current = name
  begin
    yield
  rescue StandardError => e
    fail_with("#{e.class}: #{e.message[0, 600]} #{e.backtrace.grep(/pool_activerecord/).first(3)}")
  end
  $passed += 1
end

def expect(got, wanted, what = 'value')
  raise "#{what}: got #{got.inspect[0, 300]}, wanted #{wanted.inspect[0, 300]}" unless got == wanted
end

def configuration(more = {})
  dsn = URI.parse(ENV.fetch('DSN'))
  query = URI.decode_www_form(dsn.query || '').to_h
  {
    adapter: 'postgresql', host: dsn.host, port: dsn.port, username: URI.decode_www_form_component(dsn.user),
    password: URI.decode_www_form_component(dsn.password), database: URI.decode_www_form_component(dsn.path[1..]),
    connect_timeout: 30, pool: 40, prepared_statements: true, statement_limit: 50
  }.merge(query.slice('options', 'sslmode').transform_keys(&:to_sym)).merge(more)
end

TYPES = { Integer => ActiveRecord::Type::Integer.new(limit: 8), String => ActiveRecord::Type::String.new }.freeze

def rows(connection, text, *values)
  binds = values.map { |v| ActiveRecord::Relation::QueryAttribute.new('v', v, TYPES.fetch(v.class)) }
  connection.exec_query(text, 'SQL', binds, prepare: true).rows
end

def one(connection, text, *values)
  rows(connection, text, *values)[0][0]
end

def setting(connection, name)
  one(connection, 'select current_setting($1)', name)
end

def settings_of(connection, names)
  names.to_h { |name| [name, setting(connection, name)] }
end

def kept(connection, wanted)
  expect(settings_of(connection, wanted.keys), wanted)
end

def refused(state)
  yield
rescue ActiveRecord::StatementInvalid => e
  expect(e.cause.result&.error_field(PG::Result::PG_DIAG_SQLSTATE), state, e.message)
else
  raise "it succeeded, wanted #{state}"
end

# While the block runs, `other` holds the backend that was free last.
def elsewhere(other)
  other.execute('begin')
  one(other, 'select 1 + $1::int', 1)
  yield
ensure
  other.execute('rollback')
end

def connect
  ActiveRecord::Base.connection_pool.checkout
end

def close(connection)
  ActiveRecord::Base.connection_pool.remove(connection)
  connection.disconnect!
end

def moves(a, b)
  check('one connection, many backends') do
    seen = []
    4.times do
      seen << one(a, 'select pg_backend_pid()')
      elsewhere(b) { seen << one(a, 'select pg_backend_pid()') }
    end
    expect(seen.uniq.size > 1, POOLED, "moved between #{seen.uniq}")
  end
  check('prepared statements follow the connection') do
    text = 'select $1::int * 2, $2::text'
    12.times do |i|
      expect(rows(a, text, i, "t#{i}"), [[i * 2, "t#{i}"]])
      elsewhere(b) { expect(rows(a, text, i, "u#{i}"), [[i * 2, "u#{i}"]]) }
      expect(rows(b, 'select $1::int * 3, $2::text', i, "b#{i}"), [[i * 3, "b#{i}"]])
      expect(rows(b, text, i, "b#{i}"), [[i * 2, "b#{i}"]])
    end
  end
  check('more statements than it keeps') do
    # Each one above the limit makes it send DEALLOCATE for the oldest.
    2.times { 80.times { |i| expect(one(a, "select $1::int + #{i}", 1), i + 1) } }
    elsewhere(b) { expect(one(a, 'select $1::int + 79', 1), 80) }
  end
end

def errors(a, b)
  check('errors outside and inside of a transaction') do
    8.times do
      refused('22012') { rows(a, 'select 1 / $1::int', 0) }
      elsewhere(b) { expect(one(a, 'select 1 / $1::int', 1), 1) }
    end
    a.begin_db_transaction
    refused('22012') { rows(a, 'select 1 / $1::int', 0) }
    elsewhere(b) { refused('25P02') { a.execute('select 1') } }
    a.rollback_db_transaction
    expect(one(a, 'select 1 / $1::int', 1), 1)
  end
end

def settings(a, b)
  fresh = settings_of(b, DEFAULTS)
  mine = { 'TimeZone' => 'Pacific/Auckland', 'statement_timeout' => '54321ms', 'application_name' => 'mine',
           'search_path' => 'pg_catalog, public' }
  check('settings stay with their connection') do
    a.execute("set time zone 'Pacific/Auckland'")
    a.execute('set statement_timeout = 54321')
    a.execute("set application_name = 'mine'")
    a.schema_search_path = 'pg_catalog, public'
    3.times do
      kept(b, fresh)
      elsewhere(b) { kept(a, mine) }
      kept(b, fresh)
    end
    a.transaction do
      a.execute('set local statement_timeout = 1111')
      a.execute("set time zone 'Asia/Tokyo'")
      kept(a, 'statement_timeout' => '1111ms', 'TimeZone' => 'Asia/Tokyo')
      raise ActiveRecord::Rollback
    end
    elsewhere(b) { kept(a, mine) }
    rows(a, "select set_config('my.tenant', $1, false)", 'tenant a')
    elsewhere(b) { kept(a, 'my.tenant' => 'tenant a') }
    expect(one(b, "select coalesce(current_setting('my.tenant', true), '')"), '')
    fresh.each { |name, value| rows(a, 'select set_config($1, $2, false)', name, value) }
    elsewhere(b) { kept(a, fresh) }
  end
  check('variables of the configuration') do
    spec = configuration(variables: { statement_timeout: '3456ms', lock_timeout: 2345 }, schema_search_path: 'pg_catalog')
    c = ActiveRecord::Base.postgresql_connection(spec)
    3.times do
      elsewhere(b) { kept(c, 'statement_timeout' => '3456ms', 'lock_timeout' => '2345ms', 'search_path' => 'pg_catalog') }
      kept(b, fresh)
    end
    # `reset!` sends DISCARD ALL and says everything again.
    c.reset!
    elsewhere(b) { kept(c, 'statement_timeout' => '3456ms', 'search_path' => 'pg_catalog') }
    c.disconnect!
    kept(b, fresh)
  end
end

def session_state(b)
  check('advisory locks, temporary tables, LISTEN') do
    a = connect
    key = SecureRandom.random_number(2**31)
    expect(a.get_advisory_lock(key), true)
    expect(b.get_advisory_lock(key), false)
    elsewhere(b) { expect(one(a, 'select 1'), 1) }
    expect(a.release_advisory_lock(key), true)
    name = "pool_temp_#{UNIQUE}"
    a.create_table(name, temporary: true) { |t| t.string :v }
    3.times do |i|
      a.execute("insert into #{name} (v) values ('x')")
      refused('42P01') { rows(b, "select * from #{name}") }
      elsewhere(b) { expect(one(a, "select count(*)::int from #{name}"), i + 1) }
    end
    a.drop_table(name, temporary: true)
    a.execute("listen ch_#{UNIQUE}")
    b.execute("notify ch_#{UNIQUE}, 'hello'")
    expect(a.raw_connection.wait_for_notify(10) { |_, _, payload| expect(payload, 'hello') }, "ch_#{UNIQUE}")
    a.execute('unlisten *')
    close(a)
  end
end

class Animal < ActiveRecord::Base
  self.table_name = "pool_animals_#{UNIQUE}"
end

class One < ActiveRecord::Migration[6.1]
  def change
    create_table(Animal.table_name) do |t|
      t.string :name, index: { unique: true, name: "#{Animal.table_name}_ix" }
      t.integer :legs
      t.timestamps
    end
  end
end

class Two < ActiveRecord::Migration[6.1]
  disable_ddl_transaction!
  def change
    add_column Animal.table_name, :tail, :boolean, default: true
    add_index Animal.table_name, :legs, algorithm: :concurrently, name: "#{Animal.table_name}_legs"
  end
end

def migrator(direction, target = nil)
  all = [One, Two].each_with_index.map { |kind, i| kind.new(kind.name, i + 1) }
  migrations = all.map { |m| m.tap { m.verbose = false } }
  ActiveRecord::Migrator.new(direction, migrations, ActiveRecord::SchemaMigration, target).migrate
end

def orm(b)
  ActiveRecord::Base.schema_migrations_table_name = "pool_migrations_#{UNIQUE}"
  ActiveRecord::Base.internal_metadata_table_name = "pool_metadata_#{UNIQUE}"
  check('migrations up, down and up') do
    migrator(:up)
    migrator(:down, 0)
    migrator(:up)
    expect(ActiveRecord::SchemaMigration.count, 2)
  end
  check('rows, transactions, savepoints') do
    Animal.reset_column_information
    Animal.transaction do
      200.times { |i| Animal.create!(name: "n#{i}", legs: i % 5) }
      begin
        Animal.transaction(requires_new: true) { Animal.create!(name: 'n1') }
      rescue ActiveRecord::RecordNotUnique
        nil
      end
      elsewhere(b) { expect(Animal.where(legs: 2).count, 40) }
    end
    Animal.transaction do
      Animal.create!(name: 'dropped')
      raise ActiveRecord::Rollback
    end
    elsewhere(b) { expect(Animal.where(name: 'dropped').count, 0) }
    seen = 0
    Animal.find_each(batch_size: 30) { |animal| seen += animal.legs }
    expect(seen, 400)
    expect(Animal.find_by(name: 'n7').tail, true)
    Animal.find_by(name: 'n7').with_lock { expect(Animal.lock.find_by(name: 'n7').legs, 2) }
  end
  check('threads with its own pool') do
    threads = Array.new(15) do |i|
      Thread.new do
        ActiveRecord::Base.connection_pool.with_connection { 5.times { expect(Animal.find_by(name: "n#{i}").legs, i % 5) } }
      end
    end
    threads.each(&:join)
  end
  check('clean up') do
    migrator(:down, 0)
    ActiveRecord::SchemaMigration.drop_table
    ActiveRecord::InternalMetadata.drop_table
  end
end

def big(a)
  check('a row of 5 MB there and back') do
    text = '0123456789abcdef' * (BIG / 16)
    expect(one(a, 'select $1::text', text) == text, true)
  end
end

def crowd
  dice = Random.new(20)
  check("#{CROWD} clients, each with its own world") do
    prefix = "pool_#{UNIQUE}_"
    clients = Array.new(CROWD) { connect }
    clients.each_with_index do |c, i|
      c.execute("create schema #{prefix}#{i}; set search_path = #{prefix}#{i}; set application_name = 'client #{i}'")
      c.execute('create table t (tag text, n int)')
      rows(c, 'insert into t values ($1::text, $2::int)', "tag #{i}", 0)
    end
    counts = [0] * CROWD
    open = []
    ROUNDS.times do |turn|
      i = dice.rand(CROWD)
      c = clients[i]
      if !open.include?(i) && open.size < OPEN && dice.rand < 0.3
        c.execute('begin')
        open << i
      end
      got = rows(c, "select tag, n, current_setting('application_name'), $1::int from t", turn)
      expect(got, [["tag #{i}", counts[i], "client #{i}", turn]])
      refused('22012') { rows(c, 'select n / $1::int from t', 0) } if !open.include?(i) && dice.rand < 0.2
      rows(c, 'update t set n = n + $1::int', 1)
      counts[i] += 1
      clients[open.delete_at(dice.rand(open.size))].execute('commit') if !open.empty? && dice.rand < 0.4
    end
    open.each { |i| clients[i].execute('commit') }
    clients.each_with_index do |c, i|
      expect(one(c, 'select n from t'), counts[i])
      c.execute("drop schema #{prefix}#{i} cascade")
      close(c)
    end
  end
end

def sleep_and_wake(a, b)
  check('sleep') do
    a.execute("set time zone 'Asia/Tokyo'")
    a.execute("set application_name = 'sleeper'")
    8.times { |i| [a, b].each { |c| expect(one(c, 'select $1::int + 7', i), i + 7) } }
    puts 'SLEEP'
    $stdout.flush
    raise 'nobody suspended the endpoint' unless $stdin.gets
  end
  check('after the sleep') do
    unless POOLED
      [a, b].each do |c|
        begin
          one(c, 'select $1::int + 7', 1)
        rescue ActiveRecord::StatementInvalid, PG::Error
          next
        end
        raise 'a direct connection has outlived the sleep'
      end
      [a, b].each { |c| close(c) }
      a = connect
      b = connect
      a.execute("set time zone 'Asia/Tokyo'")
      a.execute("set application_name = 'sleeper'")
    end
    8.times do |i|
      expect(one(a, 'select $1::int + 7', i), i + 7)
      elsewhere(b) { kept(a, 'TimeZone' => 'Asia/Tokyo', 'application_name' => 'sleeper') }
      expect(one(b, 'select $1::int + 7', i), i + 7)
    end
  end
end

Thread.new do
  sleep PROGRAM_LIMIT
  fail_with("still running after #{PROGRAM_LIMIT} s")
end
Thread.report_on_exception = false
fail_with('--survives yes|no') unless [%w[--survives yes], %w[--survives no]].include?(ARGV)
a = b = nil
check('connect') do
  ActiveRecord::Base.establish_connection(configuration)
  a = connect
  b = connect
  expect([one(a, 'select 1'), one(b, 'select 2')], [1, 2])
end
moves(a, b)
errors(a, b)
settings(a, b)
session_state(b)
orm(b)
big(a)
crowd
sleep_and_wake(a, b)
puts "ok pool_activerecord #{$passed} checks"
