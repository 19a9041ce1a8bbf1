import bridge.v1.Common.Payload;
import bridge.v1.Common.Receipt;
import bridge.v1.Invoke.CallRequest;
import bridge.v1.Invoke.CallResponse;
import bridge.v1.Invoke.StreamCallRequest;
import bridge.v1.Invoke.StreamCallResponse;
import bridge.v1.InvokeServiceGrpc;
import bridge.v1.InvokeServiceGrpc.InvokeServiceBlockingStub;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Calls a bridge from Java with generated stubs: a function, a stream, a failure with its details, and the receipt.
 *
 * <p>Usage: sample [HOST:PORT]; default 127.0.0.1:50051. BRIDGE_KEY is read where it is set.
 */
public final class Sample {
    private static final long TIMEOUT_MS = 10_000;
    private static final Metadata.Key<byte[]> RECEIPT =
            Metadata.Key.of("bridge-receipt-bin", Metadata.BINARY_BYTE_MARSHALLER);

    private final InvokeServiceBlockingStub stub;

    private Sample(ManagedChannel channel) {
        stub = InvokeServiceGrpc.newBlockingStub(channel);
    }

    public static void main(String[] arguments) throws Exception {
        String address = arguments.length > 0 ? arguments[0] : "127.0.0.1:50051";
        ManagedChannel channel = NettyChannelBuilder.forTarget(address).usePlaintext().build();
        try {
            Sample sample = new Sample(channel);
            sample.call();
            sample.stream();
            sample.fail();
        } finally {
            channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
        }
    }

    private void call() throws IOException {
        AtomicReference<Metadata> trailers = new AtomicReference<>();
        CallRequest request = CallRequest.newBuilder().setFunction("add").setArguments(json("{\"a\": 1, \"b\": 2}")).build();
        CallResponse reply = prepared("sample-call", trailers).call(request);
        System.out.println("add: " + reply.getResult().getJson());

        Receipt receipt = receipt(trailers.get());
        System.out.printf(
                "receipt: %s ran in pool %s on worker %s, %d us%n",
                receipt.getRequestId(), receipt.getPool(), receipt.getWorker(), receipt.getTotalUs());
    }

    private void stream() {
        StreamCallRequest request =
                StreamCallRequest.newBuilder().setFunction("count").setArguments(json("{\"to\": 3}")).build();
        Iterator<StreamCallResponse> items = prepared("sample-stream", new AtomicReference<>()).streamCall(request);
        StringBuilder line = new StringBuilder("count:");
        items.forEachRemaining(reply -> line.append(' ').append(reply.getItem().getJson()));
        System.out.println(line);
    }

    /** A failure carries a google.rpc.Status, whose details say why and which arguments are meant. */
    private void fail() throws IOException {
        CallRequest request =
                CallRequest.newBuilder().setFunction("add").setArguments(json("{\"a\": \"one\", \"b\": 2}")).build();
        try {
            prepared("sample-failure", new AtomicReference<>()).call(request);
        } catch (StatusRuntimeException error) {
            Status status = StatusProto.fromThrowable(error);
            System.out.println(
                    "error: " + error.getStatus().getCode() + " " + detail(status, ErrorInfo.class).getReason());
            for (BadRequest.FieldViolation violation : detail(status, BadRequest.class).getFieldViolationsList()) {
                System.out.println("  " + violation.getField() + ": " + violation.getDescription());
            }
            System.out.println("receipt of the failure: " + receipt(error.getTrailers()).getRequestId());
            return;
        }
        throw new IllegalStateException("expected a failure");
    }

    /** What goes with every call. The server keeps to x-timeout-ms, which gRPC's own deadline backs up. */
    private InvokeServiceBlockingStub prepared(String requestId, AtomicReference<Metadata> trailers) {
        Metadata metadata = new Metadata();
        metadata.put(text("x-request-id"), requestId);
        metadata.put(text("x-timeout-ms"), Long.toString(TIMEOUT_MS));
        String key = System.getenv("BRIDGE_KEY");
        if (key != null) {
            metadata.put(text("authorization"), "Bearer " + key);
        }
        return stub.withDeadlineAfter(TIMEOUT_MS + 250, TimeUnit.MILLISECONDS)
                .withInterceptors(
                        MetadataUtils.newAttachHeadersInterceptor(metadata),
                        MetadataUtils.newCaptureMetadataInterceptor(new AtomicReference<>(), trailers));
    }

    /** The receipt comes in the trailers, of failed calls too. */
    private static Receipt receipt(Metadata trailers) throws InvalidProtocolBufferException {
        return Receipt.parseFrom(trailers.get(RECEIPT));
    }

    private static <T extends Message> T detail(Status status, Class<T> type) throws InvalidProtocolBufferException {
        for (Any packed : status.getDetailsList()) {
            if (packed.is(type)) {
                return packed.unpack(type);
            }
        }
        throw new IllegalStateException("the failure has no " + type.getSimpleName());
    }

    private static Payload json(String arguments) {
        return Payload.newBuilder().setJson(arguments).build();
    }

    private static Metadata.Key<String> text(String name) {
        return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
    }
}
