# Runs shell scripts for the host, several at a time, over a virtio-serial port; PID 1 of the guest.
#
# Host to guest, each a line, `run` and `input` followed by so many bytes:
#   run ID LENGTH       bash script; its output comes as it is written
#   input ID LENGTH     for its standard input; LENGTH 0: end of input
#   kill ID SIGNAL      to the script and everything that it started
#   ping ID             answered by `pong ID`
# Guest to host:
#   out ID LENGTH, err ID LENGTH   and the bytes
#   end ID CODE SIGNAL
use strict;
use warnings;
use Fcntl;
use POSIX ();

my ($port) = grep { open my $f, '<', "$_/name" or die; my $name = <$f> // ''; $name =~ /^gantry$/ } glob '/sys/class/virtio-ports/*';
die "there is no port to the host" unless $port;
$port =~ s{.*/}{/dev/};
sysopen my $host, $port, O_RDWR or die "$port: $!";

my ($input, %jobs, %by_pid) = ('');

sub send_all {
  my ($bytes) = @_;
  while (length $bytes) {
    my $written = syswrite $host, $bytes;
    # Nobody listens now; what is said then is lost, as on any serial line.
    return unless defined $written;
    substr $bytes, 0, $written, '';
  }
}

sub pass_on {
  my ($job, $which, $all) = @_;
  my $from = $job->{$which} or return;
  while (1) {
    my $got = sysread $from, my $bytes, 65536;
    if ($got) {
      send_all "$which $job->{id} $got\n$bytes";
      last unless $all;
    } else {
      delete $job->{$which} if defined $got;
      last;
    }
  }
}

sub start {
  my ($id, $script) = @_;
  pipe my $in_read, my $in_write;
  pipe my $out_read, my $out_write;
  pipe my $err_read, my $err_write;
  my $pid = fork;
  if (!$pid) {
    POSIX::setsid();
    POSIX::dup2(fileno $in_read, 0);
    POSIX::dup2(fileno $out_write, 1);
    POSIX::dup2(fileno $err_write, 2);
    POSIX::close($_) for 3 .. 255;
    exec '/bin/bash', '-c', $script;
    POSIX::_exit(127);
  }
  for my $pipe ($out_read, $err_read) {
    fcntl $pipe, F_SETFL, fcntl($pipe, F_GETFL, 0) | O_NONBLOCK;
  }
  $jobs{$id} = {id => $id, pid => $pid, in => $in_write, out => $out_read, err => $err_read};
  $by_pid{$pid} = $jobs{$id};
}

sub obey {
  while ($input =~ /^(\w+) (\w+)(?: (\d+))?\n/) {
    my ($verb, $id, $number, $head) = ($1, $2, $3, $+[0]);
    my $body = '';
    if ($verb eq 'run' || $verb eq 'input') {
      return if length($input) < $head + $number;
      $body = substr $input, $head, $number;
      $head += $number;
    }
    substr $input, 0, $head, '';
    my $job = $jobs{$id};
    if ($verb eq 'run') { start($id, $body) }
    elsif ($verb eq 'ping') { send_all "pong $id\n" }
    elsif ($verb eq 'kill' && $job) { kill $number, -$job->{pid} }
    elsif ($verb eq 'input' && $job && $job->{in}) {
      if ($number) { syswrite $job->{in}, $body } else { delete $job->{in} }
    }
  }
}

sub reap {
  while ((my $pid = waitpid -1, POSIX::WNOHANG()) > 0) {
    my $job = delete $by_pid{$pid} or next;
    my ($code, $signal) = ($? >> 8, $? & 127);
    pass_on($job, $_, 1) for 'out', 'err';
    # What it left in the background may still hold the pipes; its script has ended all the same.
    send_all "end $job->{id} $code $signal\n";
    delete $jobs{$job->{id}};
  }
}

$SIG{PIPE} = 'IGNORE';
$SIG{CHLD} = sub { };
while (1) {
  my $wanted = '';
  vec($wanted, fileno $host, 1) = 1;
  for my $job (values %jobs) {
    for my $pipe (grep { $_ } $job->{out}, $job->{err}) { vec($wanted, fileno $pipe, 1) = 1 }
  }
  my $ready = $wanted;
  # The time bound is for a child that ended between reap and select.
  my $count = select $ready, undef, undef, 0.25;
  if ($count > 0) {
    for my $job (values %jobs) {
      for my $which ('out', 'err') {
        pass_on($job, $which, 0) if $job->{$which} && vec $ready, fileno $job->{$which}, 1;
      }
    }
    if (vec $ready, fileno $host, 1) {
      my $got = sysread $host, $input, 65536, length $input;
      if ($got) { obey() }
      else { $input = ''; select undef, undef, undef, 0.05 }    # no host is connected
    }
  }
  reap();
}
