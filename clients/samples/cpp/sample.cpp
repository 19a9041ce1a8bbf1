// Calls a bridge from C++ with generated stubs: a function, a stream, a failure with its details, and the receipt.
//
// Usage: sample [HOST:PORT]; default 127.0.0.1:50051. BRIDGE_KEY and BRIDGE_TLS_CA are read where they are set.

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>

#include <grpcpp/grpcpp.h>

#include "bridge/v1/invoke.grpc.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace v1 = bridge::v1;

namespace {

std::shared_ptr<grpc::ChannelCredentials> credentials() {
  const char* authority = std::getenv("BRIDGE_TLS_CA");
  if (authority == nullptr) return grpc::InsecureChannelCredentials();
  std::stringstream text;
  text << std::ifstream(authority).rdbuf();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = text.str();
  return grpc::SslCredentials(options);
}

// What goes with every call. The server keeps to x-timeout-ms, which gRPC's own deadline backs up.
void prepare(grpc::ClientContext& context, const std::string& request_id) {
  const auto timeout = std::chrono::milliseconds(10'000);
  context.set_deadline(std::chrono::system_clock::now() + timeout + std::chrono::milliseconds(250));
  context.AddMetadata("x-timeout-ms", std::to_string(timeout.count()));
  context.AddMetadata("x-request-id", request_id);
  if (const char* key = std::getenv("BRIDGE_KEY")) context.AddMetadata("authorization", std::string("Bearer ") + key);
}

void check(const grpc::Status& status) {
  if (!status.ok()) throw std::runtime_error(std::to_string(status.error_code()) + ": " + status.error_message());
}

// The receipt comes in the trailers, of failed calls too.
v1::Receipt receipt_of(const grpc::ClientContext& context) {
  v1::Receipt receipt;
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("bridge-receipt-bin");
  if (found == trailers.end() || !receipt.ParseFromArray(found->second.data(), static_cast<int>(found->second.size())))
    throw std::runtime_error("the reply has no receipt");
  return receipt;
}

void call(v1::InvokeService::Stub& stub) {
  v1::CallRequest request;
  request.set_function("add");
  request.mutable_arguments()->set_json(R"({"a": 1, "b": 2})");

  grpc::ClientContext context;
  prepare(context, "sample-call");
  v1::CallResponse reply;
  check(stub.Call(&context, request, &reply));
  std::cout << "add: " << reply.result().json() << "\n";

  const v1::Receipt receipt = receipt_of(context);
  std::cout << "receipt: " << receipt.request_id() << " ran in pool " << receipt.pool() << " on worker "
            << receipt.worker() << ", " << receipt.total_us() << " us\n";
}

void stream(v1::InvokeService::Stub& stub) {
  v1::StreamCallRequest request;
  request.set_function("count");
  request.mutable_arguments()->set_json(R"({"to": 3})");

  grpc::ClientContext context;
  prepare(context, "sample-stream");
  const auto items = stub.StreamCall(&context, request);
  v1::StreamCallResponse reply;
  std::cout << "count:";
  while (items->Read(&reply)) std::cout << " " << reply.item().json();
  std::cout << "\n";
  check(items->Finish());
}

// A failure carries a google.rpc.Status, whose details say why and which arguments are meant.
void fail(v1::InvokeService::Stub& stub) {
  v1::CallRequest request;
  request.set_function("add");
  request.mutable_arguments()->set_json(R"({"a": "one", "b": 2})");

  grpc::ClientContext context;
  prepare(context, "sample-failure");
  v1::CallResponse reply;
  const grpc::Status status = stub.Call(&context, request, &reply);
  google::rpc::Status rich;
  if (status.ok() || !rich.ParseFromString(status.error_details()))
    throw std::runtime_error("expected a failure with details");
  google::rpc::ErrorInfo info;
  google::rpc::BadRequest bad;
  for (const auto& detail : rich.details()) {
    detail.UnpackTo(&info);
    detail.UnpackTo(&bad);
  }
  std::cout << "error: " << status.error_code() << " " << info.reason() << "\n";
  for (const auto& violation : bad.field_violations())
    std::cout << "  " << violation.field() << ": " << violation.description() << "\n";
  std::cout << "receipt of the failure: " << receipt_of(context).request_id() << "\n";
}

}  // namespace

int main(int count, char** arguments) {
  const std::string address = count > 1 ? arguments[1] : "127.0.0.1:50051";
  const auto stub = v1::InvokeService::NewStub(grpc::CreateChannel(address, credentials()));
  try {
    call(*stub);
    stream(*stub);
    fail(*stub);
  } catch (const std::exception& error) {
    std::cerr << "failed: " << error.what() << "\n";
    return 1;
  }
}
