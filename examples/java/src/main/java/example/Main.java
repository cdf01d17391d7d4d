package example;

import dev.itembank.v1.AnnotatorKind;
import dev.itembank.v1.CreateRunRequest;
import dev.itembank.v1.DatasetRef;
import dev.itembank.v1.FinishRunRequest;
import dev.itembank.v1.Item;
import dev.itembank.v1.Receipt;
import dev.itembank.v1.Run;
import dev.itembank.v1.RunResult;
import dev.itembank.v1.RunServiceGrpc;
import dev.itembank.v1.Score;
import dev.itembank.v1.StreamRecordResultsRequest;
import dev.itembank.v1.StreamRecordResultsResponse;
import dev.itembank.v1.StreamResultsRequest;
import dev.itembank.v1.StreamResultsResponse;
import dev.itembank.v1.StreamUpsertItemsRequest;
import dev.itembank.v1.StreamUpsertItemsResponse;
import dev.itembank.v1.UpsertBatch;
import dev.itembank.v1.UpsertCommit;
import dev.itembank.v1.UpsertMode;
import dev.itembank.v1.UpsertOpen;
import dev.itembank.v1.UpsertOptions;
import dev.itembank.v1.UpsertServiceGrpc;
import dev.itembank.v1.VersionSelector;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.stub.StreamObserver;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/**
 * A client in Java, generated from the contract alone: it streams an import, runs an experiment on the version that the
 * import made, and reads the results back.
 */
public final class Main {
  private static final int ROWS = 2_500;

  /** A batch takes at most 1,000 items. */
  private static final int BATCH_SIZE = 1_000;

  public static void main(String[] arguments) throws Exception {
    String address = arguments.length > 0 ? arguments[0] : "127.0.0.1:50051";
    ManagedChannel channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    try {
      DatasetRef dataset = DatasetRef.newBuilder().setName("java example").build();
      Receipt receipt = upsert(UpsertServiceGrpc.newStub(channel), dataset);
      System.out.printf(
          "version %d: received %d = %d created + %d updated + %d unchanged; %d deleted%n",
          receipt.getVersion(),
          receipt.getCounts().getReceived(),
          receipt.getCounts().getCreated(),
          receipt.getCounts().getUpdated(),
          receipt.getCounts().getUnchanged(),
          receipt.getCounts().getDeleted());

      RunServiceGrpc.RunServiceBlockingStub runs = RunServiceGrpc.newBlockingStub(channel);
      CreateRunRequest create =
          CreateRunRequest.newBuilder()
              .setDataset(dataset)
              .setAt(VersionSelector.newBuilder().setVersion(receipt.getVersion()))
              .setRun(Run.newBuilder().setName("squares").setTargetType("function").setTargetId("square"))
              .build();
      String runId = runs.createRun(create).getRun().getRunId();
      record(RunServiceGrpc.newStub(channel), runId);
      runs.finishRun(FinishRunRequest.newBuilder().setRunId(runId).build());
      read(runs, runId);
    } finally {
      channel.shutdown().awaitTermination(5, TimeUnit.SECONDS);
    }
  }

  /**
   * Sends all rows and waits until they are a version. A real client would keep rows until they are acknowledged and, if
   * the stream breaks, open another with the same request_id and continue at next_offset.
   */
  private static Receipt upsert(UpsertServiceGrpc.UpsertServiceStub client, DatasetRef dataset) throws Exception {
    CompletableFuture<Receipt> receipt = new CompletableFuture<>();
    StreamObserver<StreamUpsertItemsRequest> frames =
        client.streamUpsertItems(
            observe(
                receipt,
                (StreamUpsertItemsResponse answer) -> answer.hasReceipt() ? answer.getReceipt() : null));
    UpsertOptions options =
        UpsertOptions.newBuilder().setMode(UpsertMode.UPSERT_MODE_MIRROR).setCreateIfMissing(true).build();
    UpsertOpen open =
        UpsertOpen.newBuilder()
            .setDataset(dataset)
            .setRequestId(UUID.randomUUID().toString())
            .setOptions(options)
            .build();
    frames.onNext(StreamUpsertItemsRequest.newBuilder().setOpen(open).build());
    for (int first = 0; first < ROWS; first += BATCH_SIZE) {
      UpsertBatch.Builder batch = UpsertBatch.newBuilder().setOffset(first);
      for (int n = first; n < Math.min(first + BATCH_SIZE, ROWS); n++) {
        batch.addItems(
            Item.newBuilder()
                .setItemId(itemId(n))
                .setInputJson("{\"n\":" + n + "}")
                .setExpectedOutputJson(String.valueOf((long) n * n)));
      }
      frames.onNext(StreamUpsertItemsRequest.newBuilder().setBatch(batch).build());
    }
    UpsertCommit commit = UpsertCommit.newBuilder().setItemCount(ROWS).build();
    frames.onNext(StreamUpsertItemsRequest.newBuilder().setCommit(commit).build());
    frames.onCompleted();
    return receipt.get(1, TimeUnit.MINUTES);
  }

  /** Sends a result for each item, a frame at a time. */
  private static void record(RunServiceGrpc.RunServiceStub client, String runId) throws Exception {
    CompletableFuture<Boolean> done = new CompletableFuture<>();
    int frameCount = (ROWS + BATCH_SIZE - 1) / BATCH_SIZE;
    StreamObserver<StreamRecordResultsRequest> frames =
        client.streamRecordResults(
            observe(
                done,
                (StreamRecordResultsResponse answer) ->
                    answer.getFrameNumber() == frameCount - 1 ? Boolean.TRUE : null));
    for (int number = 0; number < frameCount; number++) {
      StreamRecordResultsRequest.Builder frame =
          StreamRecordResultsRequest.newBuilder().setRunId(runId).setFrameNumber(number);
      for (int n = number * BATCH_SIZE; n < Math.min((number + 1) * BATCH_SIZE, ROWS); n++) {
        Score correct =
            Score.newBuilder()
                .setName("correct")
                .setValue(1)
                .setAnnotatorKind(AnnotatorKind.ANNOTATOR_KIND_CODE)
                .build();
        frame.addResults(
            RunResult.newBuilder()
                .setItemId(itemId(n))
                .setRepetition(1)
                .setOutputJson(String.valueOf((long) n * n))
                .addScores(correct));
      }
      frames.onNext(frame.build());
    }
    frames.onCompleted();
    done.get(1, TimeUnit.MINUTES);
  }

  /** Streams all results. Only the end frame confirms that they are complete. */
  private static void read(RunServiceGrpc.RunServiceBlockingStub client, String runId) {
    int received = 0;
    StreamResultsRequest request = StreamResultsRequest.newBuilder().setRunId(runId).build();
    for (StreamResultsResponse frame : (Iterable<StreamResultsResponse>) () -> client.streamResults(request)) {
      received += frame.getBatch().getResultsCount();
      if (frame.hasEnd()) {
        Run run = frame.getEnd().getRun();
        System.out.printf(
            "%s: %d results read; %d expected = %d succeeded + %d failed + %d missing%n",
            run.getState(),
            received,
            run.getCounts().getExpected(),
            run.getCounts().getSucceeded(),
            run.getCounts().getFailed(),
            run.getCounts().getMissing());
        return;
      }
    }
    throw new IllegalStateException("the stream was cut");
  }

  private static String itemId(int n) {
    return String.format("square-%05d", n);
  }

  /** Completes the future with the first answer that `pick` maps to a value. */
  private static <A, T> StreamObserver<A> observe(CompletableFuture<T> future, Function<A, T> pick) {
    return new StreamObserver<>() {
      @Override
      public void onNext(A answer) {
        T picked = pick.apply(answer);
        if (picked != null) future.complete(picked);
      }

      @Override
      public void onError(Throwable error) {
        future.completeExceptionally(error);
      }

      @Override
      public void onCompleted() {
        future.completeExceptionally(new IllegalStateException("the stream was cut"));
      }
    };
  }
}
