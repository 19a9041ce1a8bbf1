# Calls a bridge from Ruby with generated stubs: a function, a stream, a failure with its details, and the receipt.
#
# Usage: ruby -I FOLDER sample.rb [HOST:PORT]; FOLDER is that of the stubs, the default address 127.0.0.1:50051.
# BRIDGE_KEY and BRIDGE_TLS_CA are read where they are set.

require "grpc"
require "google/protobuf/well_known_types"
require "google/rpc/error_details_pb"
require "google/rpc/status_pb"
require "json"
require "bridge/v1/invoke_services_pb"

TIMEOUT_S = 10

# What goes with every call. The server keeps to x-timeout-ms, which gRPC's own deadline backs up.
def options(request_id)
  metadata = { "x-request-id" => request_id, "x-timeout-ms" => (TIMEOUT_S * 1000).to_s }
  metadata["authorization"] = "Bearer #{ENV['BRIDGE_KEY']}" if ENV["BRIDGE_KEY"]
  { deadline: Time.now + TIMEOUT_S + 0.25, metadata: metadata }
end

def payload(arguments)
  Bridge::V1::Payload.new(json: JSON.generate(arguments))
end

# The receipt comes in the trailers, of failed calls too.
def receipt(trailers)
  Bridge::V1::Receipt.decode(trailers.fetch("bridge-receipt-bin"))
end

def call(stub)
  request = Bridge::V1::CallRequest.new(function: "add", arguments: payload({ a: 1, b: 2 }))
  operation = stub.call(request, return_op: true, **options("sample-call"))
  puts "add: #{JSON.parse(operation.execute.result.json)}"

  ran = receipt(operation.trailing_metadata)
  puts "receipt: #{ran.request_id} ran in pool #{ran.pool} on worker #{ran.worker}, #{ran.total_us} us"
end

def stream(stub)
  request = Bridge::V1::StreamCallRequest.new(function: "count", arguments: payload({ to: 3 }))
  items = stub.stream_call(request, **options("sample-stream")).map { |reply| JSON.parse(reply.item.json) }
  puts "count: #{items.join(' ')}"
end

# A failure carries a google.rpc.Status, whose details say why and which arguments are meant.
def fail_on_purpose(stub)
  request = Bridge::V1::CallRequest.new(function: "add", arguments: payload({ a: "one", b: 2 }))
  stub.call(request, **options("sample-failure"))
  raise "expected a failure"
rescue GRPC::BadStatus => error
  status = error.to_rpc_status or raise
  info = detail(status, Google::Rpc::ErrorInfo)
  puts "error: #{error.code} #{info.reason}"
  detail(status, Google::Rpc::BadRequest).field_violations.each do |violation|
    puts "  #{violation.field}: #{violation.description}"
  end
  puts "receipt of the failure: #{receipt(error.metadata).request_id}"
end

def detail(status, type)
  status.details.filter_map { |packed| packed.unpack(type) }.first or raise "the failure has no #{type}"
end

authority = ENV["BRIDGE_TLS_CA"]
credentials = authority ? GRPC::Core::ChannelCredentials.new(File.read(authority)) : :this_channel_is_insecure
stub = Bridge::V1::InvokeService::Stub.new(ARGV.fetch(0, "127.0.0.1:50051"), credentials)
call(stub)
stream(stub)
fail_on_purpose(stub)
